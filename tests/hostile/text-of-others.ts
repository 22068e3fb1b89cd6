/** What an agent or a client may say to harm whoever reads it, and what is read instead: the terminal's and the page's share. */

export interface HostileText {
  readonly name: string;
  readonly text: string;
  /** What a terminal and a page show of it, in one line. Default: the text itself. */
  readonly shown?: string;
}

const OWNED = "document.title='owned'";

/** What terminals act on, and what makes a line read differently from what it says (threats H01 to H04). */
export const TERMINAL_TEXTS: readonly HostileText[] = [
  {
    name: "the clipboard is written",
    text: "\u001b]52;c;cm0gLXJmIC8=\u0007",
    shown: String.raw`\u{1b}]52;c;cm0gLXJmIC8=\u{7}`,
  },
  {
    name: "the lines above are written over",
    text: "\u001b[2K\u001b[1AAPPROVED by alice",
    shown: String.raw`\u{1b}[2K\u{1b}[1AAPPROVED by alice`,
  },
  { name: "the line is written over", text: "denied\rAPPROVED", shown: String.raw`denied\u{d}APPROVED` },
  { name: "letters are taken back", text: "no\b\byes", shown: String.raw`no\u{8}\u{8}yes` },
  { name: "the screen is reset", text: "\u001bc", shown: String.raw`\u{1b}c` },
  {
    name: "a link that says another place",
    text: "\u001b]8;;http://evil.test\u0007click\u001b]8;;\u0007",
    shown: String.raw`\u{1b}]8;;http://evil.test\u{7}click\u{1b}]8;;\u{7}`,
  },
  { name: "the window's title", text: "\u001b]0;owned\u0007", shown: String.raw`\u{1b}]0;owned\u{7}` },
  { name: "colours in eight bits", text: "\u009b31mred", shown: String.raw`\u{9b}31mred` },
  { name: "the clipboard in eight bits", text: "\u009d52;c;eA==\u009c", shown: String.raw`\u{9d}52;c;eA==\u{9c}` },
  { name: "a device control string", text: "\u001bP$qm\u001b\\", shown: "\\u{1b}P$qm\\u{1b}\\" },
  { name: "an image of a terminal", text: "\u001b_Ga=T;AAAA\u001b\\", shown: "\\u{1b}_Ga=T;AAAA\\u{1b}\\" },
  { name: "the terminal is asked to type", text: "\u001b[6n\u0005", shown: String.raw`\u{1b}[6n\u{5}` },
  { name: "DEL", text: "a\u007f", shown: String.raw`a\u{7f}` },
  { name: "text that runs the other way", text: "pay 10\u202e00 DSU", shown: String.raw`pay 10\u{202e}00 DSU` },
  { name: "isolated text", text: "\u2066to bob\u2069", shown: String.raw`\u{2066}to bob\u{2069}` },
  { name: "marks of direction", text: "1\u200f-\u200e2\u061c", shown: String.raw`1\u{200f}-\u{200e}2\u{61c}` },
  {
    name: "characters of no width",
    text: "ali\u200bce\u200d\u2060\ufeff",
    shown: String.raw`ali\u{200b}ce\u{200d}\u{2060}\u{feff}`,
  },
  { name: "fillers, and soft hyphens", text: "a\u3164\u00ad\u115fb", shown: String.raw`a\u{3164}\u{ad}\u{115f}b` },
  { name: "letters of tags", text: "ok\u{e0041}\u{e007f}", shown: String.raw`ok\u{e0041}\u{e007f}` },
  { name: "line breaks of Unicode", text: "a\u2028b\u2029c", shown: String.raw`a\u{2028}b\u{2029}c` },
  { name: "annotations between lines", text: "\ufff9a\ufffab\ufffb", shown: String.raw`\u{fff9}a\u{fffa}b\u{fffb}` },
];

/** What would be markup (threats J01 and J03). Terminals show it as it is. */
export const MARKUP: readonly HostileText[] = [
  `<img src=x onerror="${OWNED}">`,
  `<svg/onload=${OWNED}>`,
  `</script><script>${OWNED}</script>`,
  "</title></textarea></style><!--",
  `<iframe srcdoc="<script>parent.${OWNED}</script>"></iframe>`,
  "<iframe src=https://evil.test/></iframe>",
  `<a href="javascript:${OWNED}">here</a>`,
  `<form action=https://evil.test/><button onclick="${OWNED}">OK</button></form>`,
  "<style>*{display:none}</style>",
  "<link rel=stylesheet href=https://evil.test/style.css>",
  "<base href=https://evil.test/>",
  "<meta http-equiv=refresh content=0;url=https://evil.test/>",
  "<template shadowrootmode=open><slot></slot></template>",
  "&lt;b&gt; &#60;script&#62; {{7*7}}",
].map((text) => ({ name: text, text }));

/** What Markdown would make a link or an image of, and what the page makes of it (threats J02). */
export const MARKDOWN: readonly HostileText[] = [
  { name: "a script", text: `[click](javascript:${OWNED})`, shown: `click [link: javascript:${OWNED}]` },
  { name: "a page in the link", text: "[doc](data:text/html,hello)", shown: "doc [link: data:text/html,hello]" },
  {
    name: "another address",
    text: "[our.example](https://evil.test/)",
    shown: "our.example [link: https://evil.test/]",
  },
  { name: "by reference", text: "[there][1]\n\n[1]: https://evil.test/r", shown: "there [link: https://evil.test/r]" },
  {
    name: "an image",
    text: "![chart](https://evil.test/beacon?c=1)",
    shown: "chart [image, not loaded: https://evil.test/beacon?c=1]",
  },
  { name: "markup in it", text: `<img src=x onerror="${OWNED}">`, shown: `<img src=x onerror="${OWNED}">` },
];

/** Names that would stand before those of the page's own objects, were they ever an id or a name (threats J04). */
export const CLOBBERING: readonly string[] = [
  ...["location", "cookie", "title", "body", "forms", "getElementById", "id", "name"],
];

export const shownOf = ({ text, shown = text }: HostileText): string => shown;

/** Nothing of it reaches a terminal or a page. Tabs and line breaks are for layout. */
export const RAW =
  /[\u0000-\u0008\u000b-\u001f\u007f-\u009f\u00ad\u061c\u115f\u200b-\u200f\u2028-\u202e\u2060-\u206f\u3164\ufeff\ufff9-\ufffb\u{e0000}-\u{e0fff}]/u;
