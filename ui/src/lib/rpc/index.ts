/** Questions to the program, typed by its own command list. */
export { call } from "./client";
export { newQueryClient } from "./query-client";
export * as queries from "./queries";
