/**
 * To be imported before anything that imports zod, which compiles schemas with `new Function` where it may. The policy of
 * the page forbids it, and each try would be reported as a violation.
 */
const config = globalThis as { __zod_globalConfig?: { jitless?: boolean } };
config.__zod_globalConfig = { ...config.__zod_globalConfig, jitless: true };

export {};
