/** Express 4, under the name that it has here; what is used of it is typed alike in both versions. */
declare module "express-4" {
  export { default } from "express";
}
