/** Markdown that other programs wrote, made safe to show. */
import DOMPurify from "dompurify";
import MarkdownIt from "markdown-it";

const markdown = new MarkdownIt({ html: false, linkify: true, breaks: false });

/** What Markdown makes, and no more: no style, no form, nothing that loads anything. */
const ALLOWED_TAGS = [
  ..."a blockquote br code del em h1 h2 h3 h4 h5 h6 hr li ol p pre s strong sub sup".split(" "),
  ..."table tbody td th thead tr ul".split(" "),
];

/** What a link may open. */
const LINK = /^(?:https?:|mailto:)/i;

// An image would tell its server that the page was read, so it is shown as a link to it.
markdown.renderer.rules["image"] = (tokens, index) => {
  const token = tokens[index];
  const source = String(token?.attrGet("src") ?? "");
  const { escapeHtml } = markdown.utils;
  return `<a href="${escapeHtml(source)}">${escapeHtml(token?.content || source)}</a>`;
};

/**
 * The elements of a Markdown text. HTML in the text is shown as it was written; links open outside
 * and lead to `http`, `https` and `mailto` only; images become links.
 */
export function renderMarkdown(text: string): DocumentFragment {
  const fragment = DOMPurify.sanitize(markdown.render(text), {
    ALLOWED_TAGS,
    ALLOWED_ATTR: ["href", "title", "start"],
    ALLOWED_URI_REGEXP: LINK,
    RETURN_DOM_FRAGMENT: true,
  });
  for (const link of fragment.querySelectorAll("a")) {
    if (!LINK.test(link.getAttribute("href") ?? "")) {
      link.replaceWith(...link.childNodes);
      continue;
    }
    link.target = "_blank";
    link.rel = "noopener noreferrer";
    link.title ||= link.href;
  }
  return fragment;
}
