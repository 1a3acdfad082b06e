/** The interface runs in the page alone: there is no server to render it. */
export const ssr = false;
export const prerender = false;
