/** Everything that a worker does, by name. */
import { list, next, open, read, stat } from "./reading.ts";
import { remove } from "./removal.ts";
import { pin } from "./walk.ts";
import { mkdir, write } from "./writing.ts";

export const FILE_ACTIONS = { pin, read, open, next, list, stat, write, mkdir, remove };

export type FileActions = typeof FILE_ACTIONS;
export type FileAction = keyof FileActions;
