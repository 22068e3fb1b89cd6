/**
 * Markdown of agents. The library only reads it: what is made of it are elements of this list with text in them. Markup
 * stays text, links lead nowhere, and images are not fetched.
 */
import { lexer, type Token, type Tokens } from "marked";
import type { ComponentChildren } from "preact";
import { Text } from "./visible-text.tsx";

const MAX_MARKDOWN = 200_000;
const MAX_DEPTH = 20;

export function Markdown({ text }: { readonly text: string }) {
  if (text.length > MAX_MARKDOWN) {
    return (
      <pre>
        <Text value={text} />
      </pre>
    );
  }
  return <div class="markdown">{blocks(lexer(text), 0)}</div>;
}

const blocks = (tokens: readonly Token[] | undefined, depth: number): ComponentChildren =>
  tokens?.map((token) => block(token, depth));

function block(token: Token, depth: number): ComponentChildren {
  if (depth > MAX_DEPTH) return <Text value={token.raw} />;
  const inner = (): ComponentChildren => blocks((token as { tokens?: Token[] }).tokens, depth + 1);
  switch (token.type) {
    case "space":
    case "def":
      return null;
    case "heading":
      return <Heading level={(token as Tokens.Heading).depth}>{inner()}</Heading>;
    case "paragraph":
      return <p>{inner()}</p>;
    case "blockquote":
      return <blockquote>{inner()}</blockquote>;
    case "code":
      return (
        <pre>
          <Text value={(token as Tokens.Code).text} />
        </pre>
      );
    case "hr":
      return <hr />;
    case "list": {
      const { ordered, items } = token as Tokens.List;
      const children = items.map((item) => <li>{blocks(item.tokens, depth + 1)}</li>);
      return ordered ? <ol>{children}</ol> : <ul>{children}</ul>;
    }
    case "table":
      return table(token as Tokens.Table, depth);
    case "strong":
      return <strong>{inner()}</strong>;
    case "em":
      return <em>{inner()}</em>;
    case "del":
      return <del>{inner()}</del>;
    case "br":
      return <br />;
    case "codespan":
      return (
        <code>
          <Text value={(token as Tokens.Codespan).text} />
        </code>
      );
    case "link":
      return (
        <span class="inert-link">
          {inner()}
          <Target text="link" href={(token as Tokens.Link).href} />
        </span>
      );
    case "image":
      return (
        <span class="inert-link">
          <Text value={(token as Tokens.Image).text} />
          <Target text="image, not loaded" href={(token as Tokens.Image).href} />
        </span>
      );
    case "text":
    case "escape":
      return "tokens" in token && token.tokens ? inner() : <Text value={(token as Tokens.Text).text} />;
    default:
      return <Text value={token.raw} />;
  }
}

/** Where it would lead, to be read before anybody goes there. */
function Target({ text, href }: { readonly text: string; readonly href: string }) {
  return (
    <span class="target">
      {` [${text}: `}
      <Text value={href} max={300} />
      {"]"}
    </span>
  );
}

/** Below the headings of the page. */
function Heading({ level, children }: { readonly level: number; readonly children: ComponentChildren }) {
  if (level === 1) return <h3>{children}</h3>;
  return level === 2 ? <h4>{children}</h4> : <h5>{children}</h5>;
}

const table = ({ header, rows }: Tokens.Table, depth: number): ComponentChildren => (
  <table>
    <thead>
      <tr>
        {header.map(({ tokens }) => (
          <th scope="col">{blocks(tokens, depth + 1)}</th>
        ))}
      </tr>
    </thead>
    <tbody>
      {rows.map((cells) => (
        <tr>
          {cells.map(({ tokens }) => (
            <td>{blocks(tokens, depth + 1)}</td>
          ))}
        </tr>
      ))}
    </tbody>
  </table>
);
