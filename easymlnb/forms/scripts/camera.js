// @ts-check
// Takes a photo with the device's camera.

import { h } from "./elements.js";

/**
 * Show the camera in a dialog and pass the photo on as a file.
 * @param {HTMLElement} el - where the dialog is added
 * @param {(file: File) => void} onPhoto
 */
export function takePhoto(el, onPhoto) {
  const video = h("video", { autoplay: true, playsinline: true, muted: true });
  const dialog = h("dialog", { class: "em-camera-box", "aria-label": "Camera" }, video);
  /** @type {MediaStream | null} */
  let stream = null;
  const stop = () => {
    stream?.getTracks().forEach((track) => track.stop());
    dialog.remove();
  };
  const capture = () => {
    const canvas = h("canvas", { width: video.videoWidth, height: video.videoHeight });
    canvas.getContext("2d")?.drawImage(video, 0, 0);
    canvas.toBlob((blob) => {
      dialog.close();
      if (blob) onPhoto(new File([blob], "photo.png", { type: "image/png" }));
    }, "image/png");
  };
  const captureButton = h("button", { type: "button", class: "em-button em-primary-like", onclick: capture, disabled: true }, "Take photo");
  const cancel = h("button", { type: "button", class: "em-button", onclick: () => dialog.close() }, "Cancel");
  const status = h("p", { role: "status" }, "Waiting for the camera");
  dialog.append(status, h("div", { class: "em-actions-row" }, captureButton, cancel));
  dialog.addEventListener("close", stop);
  el.append(dialog);
  dialog.showModal();
  navigator.mediaDevices
    .getUserMedia({ video: { facingMode: "environment" } })
    .then((opened) => {
      stream = opened;
      if (!dialog.isConnected) {
        stop();
        return;
      }
      video.srcObject = opened;
      video.onloadeddata = () => {
        captureButton.disabled = false;
        status.textContent = "";
        captureButton.focus();
      };
    })
    .catch(() => (status.textContent = "The camera is not available. Allow camera access in the browser, or choose a file."));
}
