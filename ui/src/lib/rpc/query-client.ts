import { QueryClient } from "@tanstack/svelte-query";

/**
 * Keeps the answers of the program. Nothing is asked again by time or focus: live events say what
 * became old, and a failed question is repeated by the person who sees why it failed.
 */
export function newQueryClient(): QueryClient {
  return new QueryClient({
    defaultOptions: {
      queries: {
        staleTime: Infinity,
        gcTime: 60_000,
        retry: false,
        refetchOnWindowFocus: false,
        refetchOnReconnect: false,
        // The program is on this machine: the state of the network says nothing about it.
        networkMode: "always",
      },
      mutations: { networkMode: "always", retry: false },
    },
  });
}
