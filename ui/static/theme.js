// Runs before the first paint, so that a dark window never flashes white. The choice itself is kept
// by the program (settings.get); this copy only bridges the moment until it is known.
(function () {
  var choice = null;
  try {
    choice = localStorage.getItem("cairn.theme");
  } catch {
    // Storage may be forbidden; the system's colours are right then.
  }
  var dark =
    choice === "dark" || (choice !== "light" && matchMedia("(prefers-color-scheme: dark)").matches);
  document.documentElement.dataset.theme = dark ? "dark" : "light";
})();
