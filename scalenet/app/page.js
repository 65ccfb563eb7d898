// What gradio's own components lack: names for those who hear the page, and on a telephone the result in view.
() => {
  const SETTLE = 2000; // milliseconds in which a result is held in view while the page around it still grows
  const mend = () => {
    document.querySelectorAll(".empty[aria-label]:not([role])").forEach((place) => place.setAttribute("role", "img"));
    document.querySelectorAll(".upload-container[aria-label]").forEach((place) => place.removeAttribute("aria-label"));
    document.querySelectorAll(".image-frame img:not([alt]), .image-frame img[alt='']").forEach((image) => {
      image.alt = image.closest(".block")?.querySelector("label")?.innerText.trim() || "Image";
    });
  };
  const hold = (place) => {
    const watch = new ResizeObserver(() => place.scrollIntoView({ block: "start" }));
    const stop = () => watch.disconnect();
    watch.observe(document.body);
    place.scrollIntoView({ block: "start" });
    for (const touch of ["wheel", "touchstart", "pointerdown", "keydown"]) addEventListener(touch, stop, { once: true });
    setTimeout(stop, SETTLE);
  };
  // A result is new when its address is; its images must be there, or the page is too short to scroll that far.
  const bring = () => {
    const shown = [...document.querySelectorAll(".result")].find((e) => e.offsetParent && e.querySelector("img, video"));
    const parts = [...(shown?.querySelectorAll("img, video") ?? [])];
    const address = parts.map((e) => e.src).join();
    if (!address || shown.dataset.seen === address) return;
    if (parts.some((e) => e.tagName === "IMG" && !e.complete)) return;
    shown.dataset.seen = address;
    if (innerWidth <= 640) hold(shown);
  };
  const look = () => (mend(), bring());
  const changes = { childList: true, subtree: true, attributes: true, attributeFilter: ["src"] };
  new MutationObserver(look).observe(document.body, changes);
  document.addEventListener("load", bring, true);
  look();
}
