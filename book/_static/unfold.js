/* A link to a folded part unfolds it: browsers that do so by themselves are recent. */
function unfold() {
  const place = document.getElementById(decodeURIComponent(location.hash.slice(1)));
  const folds = [];
  for (let at = place?.closest("details:not([open])"); at; at = at.parentElement.closest("details:not([open])")) {
    folds.push(at);
  }
  for (const fold of folds) fold.open = true;
  if (folds.length) place.scrollIntoView();
}
addEventListener("hashchange", unfold);
addEventListener("DOMContentLoaded", unfold);
