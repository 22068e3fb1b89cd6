/** What a shell has to be told, once: it asks `arcp __complete` whenever the key is pressed. */

export const SHELLS = ["bash", "zsh", "fish"] as const;
export type Shell = (typeof SHELLS)[number];

/** On a line of its own: files, too. No candidate begins like it. */
export const FILES_LINE = ":files";

export const SCRIPTS: Readonly<Record<Shell, string>> = {
  bash: `# arcp in bash. For good: echo 'source <(arcp completion bash)' >> ~/.bashrc
_arcp() {
  local line current=\${COMP_WORDS[COMP_CWORD]} files=
  # A = is a word of its own here.
  [[ $current == "=" ]] && current=
  COMPREPLY=()
  while IFS= read -r line; do
    if [[ $line == "${FILES_LINE}" ]]; then files=1; else COMPREPLY+=("\${line%%$'\\t'*}"); fi
  done < <("\${COMP_WORDS[0]}" __complete bash -- "\${COMP_WORDS[@]:1:COMP_CWORD}" 2>/dev/null)
  if [[ -n $files ]]; then
    compopt -o filenames 2>/dev/null
    while IFS= read -r line; do COMPREPLY+=("$line"); done < <(compgen -f -- "$current")
  fi
}
complete -F _arcp arcp
`,
  zsh: `#compdef arcp
# arcp in zsh. For good: arcp completion zsh > "\${fpath[1]}/_arcp", or echo 'source <(arcp completion zsh)' >> ~/.zshrc
_arcp() {
  local line files
  local -a described
  for line in "\${(@f)$("\${words[1]}" __complete zsh -- "\${(@)words[2,CURRENT]}" 2>/dev/null)}"; do
    if [[ $line == "${FILES_LINE}" ]]; then files=1
    elif [[ -n $line ]]; then described+=("\${\${line%%$'\\t'*}//:/\\\\:}:\${line#*$'\\t'}"); fi
  done
  (( $#described )) && _describe -t arcp arcp described
  [[ -n $files ]] && _files
}
if [[ \${funcstack[1]} == _arcp ]]; then _arcp "$@"; else compdef _arcp arcp; fi
`,
  fish: `# arcp in fish. For good: arcp completion fish > ~/.config/fish/completions/arcp.fish
function __arcp
  set -l words (commandline -opc)
  set -l current (commandline -ct)
  for line in ($words[1] __complete fish -- $words[2..] "$current" 2>/dev/null)
    if test "$line" = "${FILES_LINE}"
      __fish_complete_path "$current"
    else
      printf '%s\\n' "$line"
    end
  end
end
complete -c arcp -f -a '(__arcp)'
`,
};

/** The words as every shell would have them: bash makes words of its own of the = in \`--option=value\`. */
export function wordsOf(shell: Shell, words: readonly string[]): readonly string[] {
  if (shell !== "bash") return words;
  const isEmpty = words.at(-1) === "=";
  const joined = words.filter((word, index) => word !== "=" || !words[index - 1]?.startsWith("--"));
  return isEmpty ? [...joined, ""] : joined;
}
