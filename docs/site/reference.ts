/** The pages that are made of what the packages are: their declarations, the commands, the settings. */
import * as gateway from "@arcp/gateway";
import * as runtime from "@arcp/runtime";
import { apiPages, undocumentedExports } from "./api.ts";
import { commandPages } from "./commands.ts";
import { configurationReference } from "./configuration.ts";
import { readDeclarations } from "./declarations.ts";

export interface Reference {
  readonly pages: ReadonlyMap<string, string>;
  /** What is missing in the sources. */
  readonly problems: readonly string[];
}

/** Needs the packages to be built. */
export async function referencePages(root: string): Promise<Reference> {
  const declarations = readDeclarations(root);
  const configuration = configurationReference(declarations, { ...gateway, ...runtime });
  return {
    pages: new Map([
      ...apiPages(declarations),
      ...(await commandPages()),
      ["reference/configuration.md", configuration.page],
    ]),
    problems: [
      ...undocumentedExports(declarations).map((name) => `${name} has no docstring`),
      ...configuration.undocumented.map((path) => `the setting ${path} has no docstring`),
    ],
  };
}
