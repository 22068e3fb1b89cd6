/** Imported before all else: zod does not try whether it may make functions, which a strict policy would report. */
import { config } from "zod";

config({ jitless: true });
