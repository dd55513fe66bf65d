// The JupyterLab extension: a module federation container with one module, written without a build
// step. JupyterLab calls `init` with the modules that all extensions share, then `get`. Modules that
// are not shared (Notebook 7 has no launcher, Voila has neither) are left out without an error.

(() => {
  const OPEN = "easymlnb:open-catalog";
  const MARK = `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 24 24">
    <rect width="24" height="24" rx="6" fill="#f37726"/>
    <path d="M6 8h7M6 12h12M6 16h9" stroke="#fff" stroke-width="2.2" stroke-linecap="round"/></svg>`;
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

  async function extension() {
    const [{ ILauncher }, { ICommandPalette }, { PageConfig }, { LabIcon }] = await Promise.all(
      ["@jupyterlab/launcher", "@jupyterlab/apputils", "@jupyterlab/coreutils", "@jupyterlab/ui-components"].map(load),
    );
    const tokens = { launcher: ILauncher, palette: ICommandPalette };
    const available = Object.entries(tokens).filter(([, token]) => token);
    return {
      id: "easymlnb:plugin",
      description: "Opens the catalog of services.",
      autoStart: true,
      optional: available.map(([, token]) => token),
      activate: (app, ...services) => {
        const provided = Object.fromEntries(available.map(([name], at) => [name, services[at]]));
        app.commands.addCommand(OPEN, {
          label: (args) => (args.isPalette ? "Open the catalog of services" : "easymlnb"),
          caption: "Open the catalog of services",
          icon: LabIcon && new LabIcon({ name: "easymlnb:mark", svgstr: MARK }),
          execute: () => { window.open(address(PageConfig, ""), "_blank", "noopener"); },
        });
        provided.launcher?.add({ command: OPEN, category: "Other", rank: 3 });
        provided.palette?.addItem({ command: OPEN, category: "easymlnb", args: { isPalette: true } });
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
