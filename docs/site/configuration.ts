/** The reference of `arcp.config.ts`: every setting, with its type and default, as the type of the configuration and its docstrings say it. */
import ts from "typescript";
import { pageOfEntrance } from "./api.ts";
import { type Declarations, docstringOf } from "./declarations.ts";
import { cellOf, markdownOf } from "./docstring.ts";

const MAX_TYPE_CHARS = 90;

export interface ConfigurationReference {
  readonly page: string;
  /** The paths of settings of which nothing is said. */
  readonly undocumented: readonly string[];
}

interface Setting {
  readonly name: string;
  readonly type: ts.Type;
  readonly isOptional: boolean;
  readonly docstring: string;
}

/**
 * The page. Settings that are objects of settings have a section each, under the path of the setting. `constants` has the
 * values that docstrings name as defaults.
 */
export function configurationReference(
  declarations: Declarations,
  constants: Readonly<Record<string, unknown>>,
): ConfigurationReference {
  const { checker } = declarations;
  const sdk = declarations.entrances.find(({ name }) => name === "@arcp/sdk");
  const symbol = sdk?.exports.find(({ name }) => name === "ARCPConfig")?.symbol;
  if (symbol === undefined) throw new Error("@arcp/sdk exports no ARCPConfig");
  const linkTo = linksInto(declarations);
  const undocumented: string[] = [];

  const describe = (path: string, type: ts.Type, level: number, defaults: unknown): string => {
    const settings = settingsOf(type);
    const nested: string[] = [];
    const rows = settings.map((setting) => {
      const place = path === "" ? setting.name : `${path}.${setting.name}`;
      const inner = objectOf(setting.type);
      const { what, byDefault } = splitDefault(setting.docstring || docstringOfType(setting.type));
      if (what === "") undocumented.push(place);
      let name = `\`${setting.name}\``;
      let told = cellOf(markdownOf(byDefault, linkTo));
      if (inner !== undefined) {
        const title = `${place}${inner.repeated}`;
        name = `[${name}](#${anchorOf(title)})`;
        const [, constant = ""] = /\{@link (\w+) ?\}/.exec(byDefault) ?? [];
        const known = constants[constant];
        if (known !== undefined) told = `[see there](#${anchorOf(title)})`;
        nested.push(
          `${"#".repeat(level)} \`${title}\` {#${anchorOf(title)}}`,
          markdownOf(known === undefined ? setting.docstring : what, linkTo),
          describe(title, inner.type, Math.min(level + 1, 4), known),
        );
      }
      const value = (defaults as Readonly<Record<string, unknown>> | undefined)?.[setting.name];
      if (told === "" && value !== undefined) told = `\`${valueText(value)}\``;
      const needed = setting.isOptional ? "" : "**Needed.** ";
      return `| ${name}<br><small>${typeCell(setting.type)}</small> | ${told} | ${needed}${cellOf(markdownOf(what, linkTo))} |`;
    });
    const table = ["| Setting | Default | What it is |", "| --- | --- | --- |", ...rows].join("\n");
    return [table, ...nested].filter((part) => part !== "").join("\n\n");
  };

  const type = checker.getDeclaredTypeOfSymbol(symbol);
  const text = describe("", type, 2, undefined);
  const page = [
    "---\noutline: [2, 3]\n---",
    "# Configuration",
    "What `arcp serve` reads from `arcp.config.ts` (or `.js`, `.mjs`, `.json`) in its directory, or from the file that `--config` names. " +
      `It has \`defineConfig({ … })\` of [\`@arcp/sdk\`](/${pageOfEntrance("@arcp/sdk")}.md#defineconfig) as its default export. ` +
      markdownOf(docstringOf(checker, symbol), linkTo),
    text,
    "",
  ].join("\n\n");
  return { page, undocumented };

  function settingsOf(of: ts.Type): readonly Setting[] {
    return checker
      .getPropertiesOfType(of)
      .map((property) => ({
        name: property.name,
        type: checker.getNonNullableType(checker.getTypeOfSymbol(property)),
        isOptional: (property.flags & ts.SymbolFlags.Optional) !== 0,
        docstring: docstringOf(checker, property),
      }))
      .toSorted((a, b) => a.name.localeCompare(b.name, "en"));
  }

  /** The settings that a value of the type has, or each value of it; `undefined` for what is no object of settings. */
  function objectOf(of: ts.Type): { readonly type: ts.Type; readonly repeated: string } | undefined {
    const parts = of.isUnion() ? of.types : [of];
    for (const part of parts) {
      const element = checker.isArrayType(part) ? checker.getTypeArguments(part as ts.TypeReference)[0] : undefined;
      if (element !== undefined) {
        const inner = objectOf(element);
        return inner === undefined ? undefined : { ...inner, repeated: `[]${inner.repeated}` };
      }
      const values = part.flags & ts.TypeFlags.Object ? part.getStringIndexType() : undefined;
      const inner = values === undefined || values === part ? undefined : objectOf(values);
      if (inner !== undefined) return { ...inner, repeated: `.NAME${inner.repeated}` };
      if (isSettings(part)) return { type: part, repeated: "" };
    }
    return undefined;
  }

  /** An interface of ours whose members are values. Who has methods is written by a program, and is in the API reference. */
  function isSettings(of: ts.Type): boolean {
    if (!(of.flags & ts.TypeFlags.Object || of.isIntersection())) return false;
    const properties = checker.getPropertiesOfType(of);
    if (properties.length < 2 || of.getCallSignatures().length > 0 || checker.isTupleType(of)) return false;
    const isOurs = properties.every((each) => each.declarations?.some((one) => declarations.packageOf(one)) ?? false);
    const isRequiredMethod = (each: ts.Symbol): boolean =>
      !(each.flags & ts.SymbolFlags.Optional) && checker.getTypeOfSymbol(each).getCallSignatures().length > 0;
    return isOurs && !properties.some((each) => each.flags & ts.SymbolFlags.Method || isRequiredMethod(each));
  }

  function docstringOfType(of: ts.Type): string {
    const symbol = of.aliasSymbol ?? of.symbol;
    return symbol?.declarations?.some((each) => declarations.packageOf(each)) ? docstringOf(checker, symbol) : "";
  }

  function typeCell(of: ts.Type): string {
    const inner = objectOf(of);
    const text = checker.typeToString(
      of,
      undefined,
      ts.TypeFormatFlags.NoTruncation | ts.TypeFormatFlags.UseAliasDefinedOutsideCurrentScope,
    );
    const plain = text
      .replaceAll(/import\("[^"]*"\)\./g, "")
      .replaceAll("readonly ", "")
      .replace(/^NonNullable<(.*) \| undefined>$/, "$1")
      .replace(/^Readonly<(Record<.*>)>$/, "$1");
    const shown =
      plain.length > MAX_TYPE_CHARS ? (inner === undefined ? `${plain.slice(0, MAX_TYPE_CHARS)}…` : "object") : plain;
    return `\`${cellOf(shown)}\``;
  }
}

const valueText = (value: unknown): string =>
  typeof value === "number" ? value.toLocaleString("en") : (JSON.stringify(value) ?? String(value));

const anchorOf = (path: string): string => path.replaceAll("[]", "").replaceAll(".", "-").toLowerCase();

/** `Default: …` of a docstring, to its full stop, and everything else. */
function splitDefault(docstring: string): { readonly what: string; readonly byDefault: string } {
  const text = docstring.replaceAll(/\s*\n\s*/g, " ");
  const [whole = "", byDefault = ""] = /\bDefault: ((?:`[^`]*`|[^`.]|\.(?=\S))*)\.?/.exec(text) ?? [];
  return whole === ""
    ? { what: text, byDefault: "" }
    : { what: text.replace(whole, "").trim(), byDefault: byDefault.trim() };
}

function linksInto({ entrances }: Declarations): (name: string) => string | undefined {
  return (target) => {
    const [first = ""] = target.split(/[.#]/);
    const entrance = entrances.find(({ exports }) => exports.some(({ name }) => name === first));
    return entrance && `/${pageOfEntrance(entrance.name)}.md#${first.toLowerCase()}`;
  };
}
