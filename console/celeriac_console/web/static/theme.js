// Before the page is drawn, so that it isn't drawn in the other theme first.
const theme = localStorage.getItem("theme");
if (theme) document.documentElement.dataset.theme = theme;
