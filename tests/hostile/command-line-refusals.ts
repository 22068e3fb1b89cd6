/** What the command line refuses before it shows a token, or reads a secret. */

/** None of them is this machine, whatever they look like. */
export const CLEAR_URLS: readonly string[] = [
  "ws://runtime.example/arcp",
  "ws://192.0.2.1:7777/arcp",
  "ws://127.0.0.1.example/arcp",
  "ws://localhost.example/arcp",
  "ws://localhost@runtime.example/arcp",
  "ws://[2001:db8::1]/arcp",
  "ws://[::ffff:192.0.2.1]/arcp",
  "ws://0.0.0.0/arcp",
];

/** Of files with secrets, in octal. */
export const OPEN_MODES: readonly string[] = ["644", "640", "604", "660", "622", "611"];
