#!/usr/bin/env node
import module from "node:module";

// Node 22.8 and newer keep what they have compiled.
module.enableCompileCache?.();
await import("../dist/cli/main.js");
