/** The navigation beside every page, as VitePress has it. */
import { readdirSync } from "node:fs";
import { NAVIGATION, type NavigationEntry } from "./navigation.ts";

interface SidebarItem {
  text: string;
  link?: string;
  collapsed?: boolean;
  items?: SidebarItem[];
}

/** Of the pages that are in the directory. */
export function sidebar(directory: URL): SidebarItem[] {
  const pages = readdirSync(directory, { recursive: true, encoding: "utf8" })
    .filter((path) => path.endsWith(".md"))
    .map((path) => path.replaceAll("\\", "/").slice(0, -".md".length))
    .sort();
  const itemOf = ({ title, page, below }: NavigationEntry): SidebarItem => {
    const item = { text: title, link: `/${page}` };
    if (below === undefined) return item;
    const inner = pages.filter((each) => each.startsWith(below) && each !== `${below}index`);
    return {
      ...item,
      collapsed: true,
      items: inner.map((each) => ({ text: each.slice(below.length), link: `/${each}` })),
    };
  };
  return NAVIGATION.map(({ title, collapsed = false, entries }) => ({
    text: title,
    collapsed,
    items: entries.filter(({ page }) => pages.includes(page)).map(itemOf),
  })).filter(({ items }) => items.length > 0);
}
