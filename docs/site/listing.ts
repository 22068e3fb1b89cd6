/** Declarations as HTML. Highlighting them as examples are would make pages of megabytes, and could not lead from a type to it. */
import ts from "typescript";

/** A block of HTML for a page. `linkTo` says where a name is described. */
export function listingOf(text: string, linkTo: (name: string) => string | undefined): string {
  const scanner = ts.createScanner(ts.ScriptTarget.ESNext, false, ts.LanguageVariant.Standard, text);
  let html = "";
  for (let token = scanner.scan(); token !== ts.SyntaxKind.EndOfFileToken; token = scanner.scan()) {
    html += tokenHtml(token, scanner.getTokenText(), linkTo);
  }
  return `<div class="listing"><pre v-pre><code>${html}</code></pre></div>`;
}

function tokenHtml(token: ts.SyntaxKind, text: string, linkTo: (name: string) => string | undefined): string {
  const { SyntaxKind } = ts;
  if (token === SyntaxKind.MultiLineCommentTrivia || token === SyntaxKind.SingleLineCommentTrivia) {
    return `<i>${escaped(text)}</i>`;
  }
  if (token === SyntaxKind.StringLiteral || token === SyntaxKind.NoSubstitutionTemplateLiteral) {
    return `<s>${escaped(text)}</s>`;
  }
  if (token >= SyntaxKind.FirstKeyword && token <= SyntaxKind.LastKeyword) return `<b>${escaped(text)}</b>`;
  const place = token === SyntaxKind.Identifier ? linkTo(text) : undefined;
  return place === undefined ? escaped(text) : `<a href="${place}">${escaped(text)}</a>`;
}

const escaped = (text: string): string => text.replaceAll("&", "&amp;").replaceAll("<", "&lt;").replaceAll(">", "&gt;");
