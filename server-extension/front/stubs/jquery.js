// @ts-check
// Replaces jQuery: ipywidgets' views only wrap their element in it, and no script of a form uses that.

class Wrapped extends Array {}

/** @param {Element} element */
function jQuery(element) {
  const wrapped = new Wrapped();
  wrapped[0] = element;
  return wrapped;
}
// `el instanceof $` asks whether an element is wrapped already.
Object.defineProperty(jQuery, Symbol.hasInstance, { value: (/** @type {unknown} */ found) => found instanceof Wrapped });

export default jQuery;
