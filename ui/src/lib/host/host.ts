import type { CommandError } from "$lib/rpc/bindings/CommandError";
import type { Commands } from "$lib/rpc/bindings/commands";
import type { ErrorCode } from "$lib/rpc/bindings/ErrorCode";
import type { LiveEvent } from "$lib/rpc/bindings/LiveEvent";
import type { TextSpan } from "$lib/rpc/bindings/TextSpan";

/** The name of a command of the list in `cairn-app`. */
export type CommandName = keyof Commands;
export type Args<K extends CommandName> = Commands[K]["args"];
export type Result<K extends CommandName> = Commands[K]["result"];

/** What a host tells while the window is open. */
export interface LiveListener {
  /** Something happened in the program. */
  event(event: LiveEvent): void;
  /**
   * Whether the program can be reached. `connected` means that events are told from now on, the
   * first time too; what happened before it was not.
   */
  connection(state: "connected" | "disconnected"): void;
}

/** What carries commands and live events between this interface and the program. */
export interface Host {
  readonly kind: "tauri" | "browser" | "memory";
  /** Asks the program. Rejects with `CommandFailure` and with nothing else. */
  call<K extends CommandName>(name: K, args: Args<K>): Promise<Result<K>>;
  /** Listens from now on, until the function that comes back is called. */
  listen(listener: LiveListener): () => void;
  /** The address of a file that `artifact.preview` gave a handle for. */
  fileUrl(handle: string): string;
}

/** A command that was refused or failed, in the program's words. */
export class CommandFailure extends Error implements CommandError {
  override readonly name = "CommandFailure";
  readonly code: ErrorCode;
  readonly hint: string | null;
  readonly detail: string | null;
  readonly span: TextSpan | null;

  constructor(error: CommandError) {
    super(error.message);
    this.code = error.code;
    this.hint = error.hint;
    this.detail = error.detail;
    this.span = error.span;
  }
}

/** A failure that the interface itself has to put into words. */
export function failure(message: string, hint: string | null, cause?: unknown): CommandFailure {
  const detail =
    cause === undefined ? null : cause instanceof Error ? cause.message : String(cause);
  return new CommandFailure({ code: "internal", message, hint, detail, span: null });
}

/** Reads what a host was given as an error; anything that is not a `CommandError` becomes its detail. */
export function readFailure(name: CommandName, error: unknown): CommandFailure {
  if (error instanceof CommandFailure) return error;
  if (isCommandError(error)) {
    return new CommandFailure({
      code: error.code,
      message: error.message,
      hint: error.hint ?? null,
      detail: error.detail ?? null,
      span: error.span ?? null,
    });
  }
  return failure(`Cairn could not answer ${name}`, "Try again; if it stays, restart Cairn.", error);
}

function isCommandError(value: unknown): value is CommandError {
  return (
    typeof value === "object" &&
    value !== null &&
    "code" in value &&
    typeof value.code === "string" &&
    "message" in value &&
    typeof value.message === "string"
  );
}
