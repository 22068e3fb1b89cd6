/** What a job was asked for goes with its row, and is read alone: who lists, claims or takes over jobs does without. */
import { COMMIT_BATCH_ASKED } from "./schema-commit.ts";

export const ASKED = `
ALTER TABLE job ADD COLUMN asked text;
${COMMIT_BATCH_ASKED}`;
