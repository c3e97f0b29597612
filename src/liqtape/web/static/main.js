// What is seen first: the sentence and the strip. All else comes meanwhile.

import { paintGone, paintNow } from "./now.js";
import { askNow, listen, open } from "./stream.js";
import { applyTheme, readAddress } from "./view.js";

applyTheme();
readAddress();
let isFirst = true;
listen("update", () => {
  if (isFirst || document.hidden) paintNow(); // of a tab nobody looks at the title is seen
  isFirst = false;
});
listen("gone", paintGone);
askNow();
open();
import("./parts.js");
