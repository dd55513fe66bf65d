// The JupyterLab extension: a module federation container with one module, written without a build
// step. JupyterLab calls `init` with the modules that all extensions share, then `get`. Modules that
// are not shared (Notebook 7 has no launcher, Voila has neither) are left out without an error.

(() => {
  const OPEN = "easymlnb:open-catalog";
  const MARK = `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 24 24">
    <rect width="24" height="24" rx="6" fill="#f37726"/>
    <path d="M6 8h7M6 12h12M6 16h9" stroke="#fff" stroke-width="2.2" stroke-linecap="round"/></svg>`;
  const REFRESH_MS = 5000;
  const COLORS = { ready: "success", busy: "warn", starting: "warn", failed: "error", live: "brand" };
  const STYLE = `
    .easymlnb-services { display: flex; flex-direction: column; overflow: auto; padding: 12px; gap: 12px; background: var(--jp-layout-color1);
      color: var(--jp-ui-font-color1); font-family: var(--jp-ui-font-family); font-size: var(--jp-ui-font-size1); }
    .easymlnb-services :is(h2, p, ul) { margin: 0; padding: 0; list-style: none; font-size: inherit; }
    .easymlnb-services h2 { display: flex; justify-content: space-between; font-weight: 600; }
    .easymlnb-services li { padding: 8px 0; border-top: 1px solid var(--jp-border-color2); overflow-wrap: anywhere; }
    .easymlnb-services a { color: var(--jp-content-link-color); margin-right: 12px; }
    .easymlnb-services i { display: inline-block; width: 8px; height: 8px; margin-right: 6px; border-radius: 50%; background: var(--jp-ui-font-color3); }`;
  let shared = {};

  // A shared module has an entry for each version; the loaded version is used.
  async function load(name) {
    const versions = Object.values(shared[name] ?? {});
    const chosen = versions.find((version) => version.loaded) ?? versions.at(-1);
    if (!chosen) return {};
    chosen.loaded = 1;
    return (await chosen.get())();
  }

  // Behind a proxy, only the page knows the server's address for the browser.
  function address(PageConfig, path) {
    const base = PageConfig?.getBaseUrl() ?? new URL("/", location.href).href;
    return `${base.replace(/\/?$/, "/")}easymlnb/${path}`;
  }

  // Forms under cells have links with the server's address for the kernel.
  function correctLinks(PageConfig) {
    document.addEventListener("click", (event) => {
      const link = event.target.closest?.("a[data-easymlnb]");
      const path = link?.dataset.easymlnb;
      if (path === undefined || /^[/\\]|:|\.\./.test(path)) return;
      link.href = address(PageConfig, path);
      link.target = "_blank";
      link.rel = "noopener";
    }, { capture: true });
  }

  // Texts of authors are added as texts only.
  function make(tag, attributes, ...children) {
    const element = document.createElement(tag);
    for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
    element.append(...children);
    return element;
  }

  const link = (label, path) => make("a", { href: "#", "data-easymlnb": path }, label);

  function row({ name, title, state, version, live }) {
    const at = encodeURIComponent(name);
    const color = COLORS[state] ? `background: var(--jp-${COLORS[state]}-color1)` : "";
    const facts = [state, version ? `version ${version}` : "", live && version ? "live" : ""].filter(Boolean).join(", ");
    return make("li", {}, make("div", {}, make("strong", {}, title || name)), make("div", {}, make("i", { style: color }), facts),
      link("App", `apps/${at}`), link("About", `services/${at}/page`));
  }

  // The services of this server, in the left sidebar.
  function sidebar({ Widget }, { ServerConnection }, PageConfig, icon) {
    const node = make("div", {});
    const list = make("ul", { "aria-live": "polite" });
    let before = "";
    const show = (services) => {
      if (JSON.stringify(services) === before) return;
      before = JSON.stringify(services);
      const empty = make("p", {}, "No services yet. Run a cell with @ml.service, or publish a notebook.");
      list.replaceChildren(...(services.length ? services.map(row) : [empty]));
    };
    const refresh = async () => {
      try {
        const response = await ServerConnection.makeRequest(address(PageConfig, "services?limit=200"), {}, ServerConnection.makeSettings());
        if (response.ok) show((await response.json()).services);
      } catch {
        // The server may be restarting; the next request follows soon.
      }
    };
    class Services extends Widget {
      onAfterShow() {
        void refresh();
        this.timer = setInterval(() => document.hidden || void refresh(), REFRESH_MS);
      }

      onBeforeHide() {
        clearInterval(this.timer);
      }
    }
    node.append(make("style", {}, STYLE), make("h2", {}, "Services", link("Catalog", "")), list);
    const widget = new Services({ node });
    widget.id = "easymlnb-services";
    widget.addClass("easymlnb-services");
    widget.title.caption = "Services";
    if (icon) widget.title.icon = icon;
    return widget;
  }

  async function extension() {
    const [{ ILauncher }, { ICommandPalette }, { PageConfig }, { LabIcon }, widgets, services] = await Promise.all(
      ["@jupyterlab/launcher", "@jupyterlab/apputils", "@jupyterlab/coreutils", "@jupyterlab/ui-components", "@lumino/widgets", "@jupyterlab/services"].map(load),
    );
    const icon = LabIcon && new LabIcon({ name: "easymlnb:mark", svgstr: MARK });
    const tokens = { launcher: ILauncher, palette: ICommandPalette };
    const available = Object.entries(tokens).filter(([, token]) => token);
    return {
      id: "easymlnb:plugin",
      description: "Lists the services of this server, and opens their catalog.",
      autoStart: true,
      optional: available.map(([, token]) => token),
      activate: (app, ...found) => {
        const provided = Object.fromEntries(available.map(([name], at) => [name, found[at]]));
        app.commands.addCommand(OPEN, {
          label: (args) => (args.isPalette ? "Open the catalog of services" : "easymlnb"),
          caption: "Open the catalog of services",
          icon,
          execute: () => { window.open(address(PageConfig, ""), "_blank", "noopener"); },
        });
        provided.launcher?.add({ command: OPEN, category: "Other", rank: 3 });
        provided.palette?.addItem({ command: OPEN, category: "easymlnb", args: { isPalette: true } });
        if (widgets.Widget && services.ServerConnection) app.shell.add(sidebar(widgets, services, PageConfig, icon), "left", { rank: 900 });
        correctLinks(PageConfig);
      },
    };
  }

  const container = {
    init: (scope) => { shared = scope; },
    get: async (module) => {
      if (module !== "./extension") throw new Error(`easymlnb has no module ${module}.`);
      const plugin = await extension();
      return () => ({ __esModule: true, default: plugin });
    },
  };
  window._JUPYTERLAB = window._JUPYTERLAB ?? {};
  window._JUPYTERLAB.easymlnb = container;
})();
