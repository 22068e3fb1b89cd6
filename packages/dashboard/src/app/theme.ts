/** Light or dark: as the system has it, until somebody says otherwise. */
const KEY = "arcp.theme";

const apply = (theme: string | null): void => {
  if (theme === "light" || theme === "dark") document.documentElement.dataset["theme"] = theme;
};

export const restoreTheme = (): void => apply(localStorage.getItem(KEY));

export function toggleTheme(): void {
  const isDark =
    document.documentElement.dataset["theme"] === "dark" ||
    (document.documentElement.dataset["theme"] === undefined && matchMedia("(prefers-color-scheme: dark)").matches);
  const next = isDark ? "light" : "dark";
  localStorage.setItem(KEY, next);
  apply(next);
}
