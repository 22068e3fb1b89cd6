/** What is shipped: archives, the bill of materials, licences, and no secrets. */
import { describe, expect, it } from "vitest";
import { type PackedPackage, packProblems } from "../../scripts/pack.ts";
import { billOfMaterials, bomProblems, licenceProblems, shippedComponents } from "../../scripts/sbom.ts";
import { secretProblems } from "../../scripts/secrets.ts";

const LOCK = {
  "packages/a": {
    name: "@arcp/a",
    version: "1.0.0",
    license: "Apache-2.0",
    dependencies: { b: "^2.0.0", "@arcp/c": "1.0.0" },
  },
  "packages/c": { name: "@arcp/c", version: "1.0.0", license: "Apache-2.0", dependencies: { b: "^1.0.0" } },
  "node_modules/@arcp/c": { resolved: "packages/c", link: true },
  "packages/a/node_modules/b": { version: "2.0.0", license: "MIT", integrity: "sha512-AAAA" },
  "node_modules/b": {
    version: "1.0.0",
    license: "(MIT OR GPL-3.0)",
    integrity: "sha512-AAAA",
    dependencies: { d: "*" },
  },
  "node_modules/d": { version: "0.1.0", license: "GPL-3.0" },
  "node_modules/tool": { version: "1.0.0", license: "MIT", integrity: "sha512-AAAA" },
};

describe("the bill of materials", () => {
  const components = shippedComponents(LOCK, ["packages/a", "packages/c"]);

  it("has what users get, at the version that they get, and no tools", () => {
    expect(components.map(({ name, version }) => `${name} ${version}`)).toEqual([
      "b 1.0.0",
      "d 0.1.0",
      "@arcp/a 1.0.0",
      "b 2.0.0",
      "@arcp/c 1.0.0",
    ]);
    expect(billOfMaterials(components)).toMatchObject({
      bomFormat: "CycloneDX",
      specVersion: "1.6",
      serialNumber: expect.stringMatching(/^urn:uuid:[\da-f]{8}-[\da-f]{4}-8[\da-f]{3}-8[\da-f]{3}-[\da-f]{12}$/),
      components: expect.arrayContaining([
        {
          ...{ type: "library", "bom-ref": "pkg:npm/b@2.0.0", name: "b", version: "2.0.0", purl: "pkg:npm/b@2.0.0" },
          ...{ licenses: [{ license: { id: "MIT" } }], hashes: [{ alg: "SHA-512", content: "000000" }] },
        },
      ]),
      dependencies: expect.arrayContaining([
        { ref: "pkg:npm/%40arcp/a@1.0.0", dependsOn: ["pkg:npm/b@2.0.0", "pkg:npm/%40arcp/c@1.0.0"] },
      ]),
    });
    expect(billOfMaterials(components)).toEqual(billOfMaterials(components));
  });

  it("says what is missing in it", () => {
    expect(bomProblems(components, ["packages/a", "packages/e"])).toEqual([
      "packages/e is missing",
      "d 0.1.0 has no hash",
    ]);
    expect(() => shippedComponents({ "packages/a": { dependencies: { away: "1" } } }, ["packages/a"])).toThrow(
      /no away for packages\/a/,
    );
  });

  it("finds licences that ours does not go with", () => {
    expect(licenceProblems(components)).toEqual(["d 0.1.0 has the licence GPL-3.0"]);
  });
});

it("finds secrets, says where, and does not repeat them", async () => {
  // Put together here, so that it is in no file.
  const secret = `ghp_${"a1B2".repeat(9)}`;
  const found = await secretProblems("a.ts", `const a = 1;\nconst token = "${secret}";\n`);
  expect(found).toEqual([expect.stringMatching(/^a\.ts:2: .*github/)]);
  expect(found.join()).not.toContain(secret);
  expect(await secretProblems("a.ts", "const token = process.env.TOKEN;\n")).toEqual([]);
});

describe("an archive", () => {
  const files = ["package.json", "README.md", "LICENSE", "dist/index.js", "dist/index.d.ts", "src/index.ts"];
  const manifest = {
    license: "Apache-2.0",
    engines: { node: ">=22" },
    exports: { ".": { default: "./dist/index.js" } },
  };
  const archive: PackedPackage = { name: "@arcp/a", version: "1.0.0", file: "a.tgz", files, manifest };

  it.each([
    ["is as it should be", archive, []],
    ["lacks its licence", { ...archive, files: files.filter((file) => file !== "LICENSE") }, ["@arcp/a lacks LICENSE"]],
    [
      "holds what is nobody's",
      { ...archive, files: [...files, "dist/.tsbuildinfo", "notes.txt"] },
      ["@arcp/a holds notes.txt", "@arcp/a holds dist/.tsbuildinfo"],
    ],
    [
      "holds what has no source",
      { ...archive, files: [...files, "dist/old.js"] },
      ["@arcp/a holds dist/old.js, which has no source: remove dist and build again"],
    ],
    [
      "promises what is not in it",
      { ...archive, files: files.filter((file) => file !== "dist/index.js") },
      ["@arcp/a promises ./dist/index.js, which is not in it"],
    ],
  ])("%s", (_, given, problems) => {
    expect(packProblems(given)).toEqual(problems);
  });
});
