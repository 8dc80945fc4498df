// Finds a Chromium: the one that $CHROMIUM names, the one in the npm package, or an installed one. Downloads nothing.

import { spawnSync } from "node:child_process";
import { accessSync, constants, existsSync, mkdirSync, mkdtempSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { delimiter, dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

const INSTALLED = ["chromium", "chromium-browser", "google-chrome", "google-chrome-stable"];

// The package's own names folders of Lambda. Without a font, a page has no text.
const FONTS = `<?xml version="1.0"?>
<!DOCTYPE fontconfig SYSTEM "fonts.dtd">
<fontconfig>
  <dir prefix="relative">fonts</dir>
  <cachedir prefix="xdg">fontconfig</cachedir>
</fontconfig>
`;

const MODULES = join(dirname(fileURLToPath(import.meta.url)), "..", "node_modules");

// The program and what it needs in its environment; undefined if there is none.
export function find() {
  if (process.env.CHROMIUM) {
    return { path: process.env.CHROMIUM, environment: {} };
  }
  return bundled() ?? installed();
}

function installed() {
  for (const folder of (process.env.PATH ?? "").split(delimiter)) {
    for (const name of INSTALLED) {
      const path = join(folder, name);
      try {
        accessSync(path, constants.X_OK);
        return { path, environment: {} };
      } catch {
        // The next one.
      }
    }
  }
  return undefined;
}

// The package ships the program compressed, with the libraries that a plain machine lacks. It is for Linux on x86-64.
function bundled() {
  const packaged = join(MODULES, "@sparticuz", "chromium");
  if (process.platform !== "linux" || process.arch !== "x64" || !existsSync(packaged)) {
    return undefined;
  }
  const { version } = createRequire(import.meta.url)(join(packaged, "package.json"));
  const folder = join(MODULES, ".cache", `chromium-${version}`);
  if (!existsSync(folder)) {
    unpack(folder);
  }
  return {
    path: join(folder, "chromium"),
    environment: { LD_LIBRARY_PATH: join(folder, "al2023", "lib"), FONTCONFIG_PATH: join(folder, "fonts") },
  };
}

// Several processes may do this at once: each unpacks into a folder of its own, and one of them is kept.
function unpack(folder) {
  mkdirSync(dirname(folder), { recursive: true });
  const unfinished = mkdtempSync(`${folder}-`);
  // The package unpacks into the folder for temporary files, and its libraries only where it believes to be on Lambda: hence a
  // process of its own, whose environment says so.
  const done = spawnSync(
    process.execPath,
    ["--input-type=module", "--eval", 'await (await import("@sparticuz/chromium")).default.executablePath()'],
    {
      cwd: dirname(MODULES),
      env: { ...process.env, TMPDIR: unfinished, AWS_EXECUTION_ENV: "AWS_Lambda_nodejs22.x" },
      stdio: ["ignore", "ignore", "inherit"],
    },
  );
  if (done.status !== 0) {
    rmSync(unfinished, { recursive: true });
    throw new Error("Chromium could not be unpacked");
  }
  writeFileSync(join(unfinished, "fonts", "fonts.conf"), FONTS);
  try {
    renameSync(unfinished, folder);
  } catch (error) {
    rmSync(unfinished, { recursive: true });
    if (!existsSync(folder)) {
      throw error;
    }
  }
}
