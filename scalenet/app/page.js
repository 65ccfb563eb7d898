// What gradio's own components lack for those who hear the page instead of seeing it.
() => {
  const mend = () => {
    document.querySelectorAll(".empty[aria-label]:not([role])").forEach((place) => place.setAttribute("role", "img"));
    document.querySelectorAll(".upload-container[aria-label]").forEach((place) => place.removeAttribute("aria-label"));
  };
  new MutationObserver(mend).observe(document.body, { childList: true, subtree: true });
  mend();
}
