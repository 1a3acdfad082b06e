import { describe, expect, it } from "vitest";

import { renderMarkdown } from "./markdown";

function html(text: string): string {
  const box = document.createElement("div");
  box.append(renderMarkdown(text));
  return box.innerHTML.trim();
}

describe("Markdown", () => {
  it("becomes elements", () => {
    expect(html("# Churn\n\n- **auc** of `v2`")).toBe(
      "<h1>Churn</h1>\n<ul>\n<li><strong>auc</strong> of <code>v2</code></li>\n</ul>",
    );
  });

  it("shows HTML as it was written", () => {
    expect(html("<img src=x onerror=alert(1)> <script>alert(1)</script>")).toBe(
      "<p>&lt;img src=x onerror=alert(1)&gt; &lt;script&gt;alert(1)&lt;/script&gt;</p>",
    );
  });

  it("opens links outside, and says where they lead", () => {
    const link = renderMarkdown("[paper](https://example.org/a)").querySelector("a");
    expect(link?.target).toBe("_blank");
    expect(link?.rel).toBe("noopener noreferrer");
    expect(link?.title).toBe("https://example.org/a");
  });

  it("leaves only the words of links that lead elsewhere", () => {
    for (const address of [
      "javascript:alert(1)",
      "file:///etc/passwd",
      "data:text/html,x",
      "/runs",
    ]) {
      expect(html(`[words](${address})`)).not.toContain("<a");
      expect(html(`[words](${address})`)).toContain("words");
    }
  });

  it("loads no image", () => {
    const fragment = renderMarkdown('![a "chart"](https://example.org/a.png)');
    expect(fragment.querySelector("img")).toBeNull();
    expect(fragment.querySelector("a")?.getAttribute("href")).toBe("https://example.org/a.png");
    expect(fragment.textContent?.trim()).toBe('a "chart"');
  });
});
