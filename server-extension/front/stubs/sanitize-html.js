// @ts-check
// Replaces `sanitize-html`, which ipywidgets uses for descriptions with HTML. Descriptions of forms are
// text (`description_allow_html` is false), so nothing is allowed here.

/** @param {string} html */
export default (html) => html.replace(/[&<>"']/g, (found) => `&#${found.charCodeAt(0)};`);
