// The JupyterLab extension, by hand: a module federation container with one module, so that nothing
// is to be built. JupyterLab calls `init` with the modules that all extensions share, then `get`.
// What is not shared (Notebook 7 has no launcher, Voila has neither) is left out, never an error.

(() => {
  const OPEN = "easymlnb:open-catalog";
  const MARK = `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 24 24">
    <rect width="24" height="24" rx="6" fill="#f37726"/>
    <path d="M6 8h7M6 12h12M6 16h9" stroke="#fff" stroke-width="2.2" stroke-linecap="round"/></svg>`;
  let shared = {};

  // A shared module has an entry per version; the one in use already is the one to take.
  async function take(name) {
    const versions = Object.values(shared[name] ?? {});
    const chosen = versions.find((one) => one.loaded) ?? versions.at(-1);
    if (!chosen) return {};
    chosen.loaded = 1;
    return (await chosen.get())();
  }

  // Behind a proxy only the page knows the address that the browser has for this server.
  function address(PageConfig, path) {
    const base = PageConfig?.getBaseUrl() ?? new URL("/", location.href).href;
    return `${base.replace(/\/?$/, "/")}easymlnb/${path}`;
  }

  // Forms under cells link to app, docs and catalog as their kernel knows the server.
  function leadLinks(PageConfig) {
    document.addEventListener("click", (event) => {
      const link = event.target.closest?.("a[data-easymlnb]");
      const path = link?.dataset.easymlnb;
      if (path === undefined || /^[/\\]|:|\.\./.test(path)) return;
      link.href = address(PageConfig, path);
      link.target = "_blank";
      link.rel = "noopener";
    }, { capture: true });
  }

  async function extension() {
    const [{ ILauncher }, { ICommandPalette }, { PageConfig }, { LabIcon }] = await Promise.all(
      ["@jupyterlab/launcher", "@jupyterlab/apputils", "@jupyterlab/coreutils", "@jupyterlab/ui-components"].map(take),
    );
    const wanted = { launcher: ILauncher, palette: ICommandPalette };
    const there = Object.entries(wanted).filter(([, token]) => token);
    return {
      id: "easymlnb:plugin",
      description: "Opens the catalog of services.",
      autoStart: true,
      optional: there.map(([, token]) => token),
      activate: (app, ...services) => {
        const found = Object.fromEntries(there.map(([name], at) => [name, services[at]]));
        app.commands.addCommand(OPEN, {
          label: (args) => (args.isPalette ? "Open the catalog of services" : "easymlnb"),
          caption: "Open the catalog of services",
          icon: LabIcon && new LabIcon({ name: "easymlnb:mark", svgstr: MARK }),
          execute: () => { window.open(address(PageConfig, ""), "_blank", "noopener"); },
        });
        found.launcher?.add({ command: OPEN, category: "Other", rank: 3 });
        found.palette?.addItem({ command: OPEN, category: "easymlnb", args: { isPalette: true } });
        leadLinks(PageConfig);
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
