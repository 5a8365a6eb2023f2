"use strict";
// Without this script, both pictures of a pair stand below each other and all frames are shown.
document.documentElement.classList.add("js");

for (const pair of document.querySelectorAll("[data-compare]")) {
  const input = pair.querySelector("input");
  const move = () => {
    pair.style.setProperty("--at", input.value + "%");
    input.setAttribute("aria-valuetext", input.value + " % source");
  };
  input.addEventListener("input", move);
  move();
}

for (const group of document.querySelectorAll("[data-choice]")) {
  const buttons = [...group.querySelectorAll(".choice button")];
  const shots = [...group.querySelectorAll(".shot")];
  const show = (place) => {
    shots.forEach((shot, at) => { shot.hidden = at !== place; });
    buttons.forEach((button, at) => button.setAttribute("aria-pressed", String(at === place)));
  };
  buttons.forEach((button, at) => button.addEventListener("click", () => show(at)));
  if (shots.length > 1) show(0);
}
