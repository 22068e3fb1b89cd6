/** The navigation beside every page, as VitePress has it. */
import { existsSync } from "node:fs";
import { NAVIGATION } from "./navigation.ts";

interface SidebarItem {
  text: string;
  link?: string;
  collapsed?: boolean;
  items?: SidebarItem[];
}

/** Of the pages that are there. */
export function sidebar(pages: URL): SidebarItem[] {
  return NAVIGATION.map(({ title, collapsed = false, entries }) => ({
    text: title,
    collapsed,
    items: entries
      .filter(({ page }) => existsSync(new URL(`${page}.md`, pages)))
      .map(({ title: text, page }) => ({ text, link: `/${page}` })),
  })).filter(({ items }) => items.length > 0);
}
