import { host, type Args, type CommandName, type Result } from "$lib/host";

/** Commands that take no arguments. */
type WithoutArgs = {
  [K in CommandName]: Args<K> extends Record<string, never> ? K : never;
}[CommandName];

/** Asks the program; rejects with `CommandFailure`. */
export function call<K extends WithoutArgs>(name: K): Promise<Result<K>>;
export function call<K extends CommandName>(name: K, args: Args<K>): Promise<Result<K>>;
export function call<K extends CommandName>(name: K, args?: Args<K>): Promise<Result<K>> {
  return host().call(name, args ?? ({} as Args<K>));
}
