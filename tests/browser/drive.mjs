// Drives a headless Chromium through web pages, as a person would.
//
//   node drive.mjs [--seconds N] [--screenshot FILE] URL [STEP]…
//
// A step is one of
//   click NAME          the button, link or summary of that name
//   check NAME          the radio button or checkbox of that name
//   fill NAME TEXT      the text field of that name
//   arrive PREFIX       wait until the page's URL begins so
//   see TEXT            wait until the page has that text
//   open URL            another page
//
// Prints {"url", "title", "text"} of the last page. Ends with 0, with 1 if a step failed (its page goes into the screenshot),
// with 2 if the command line is wrong, and with 3 if there is no Chromium.

import { parseArgs } from "node:util";

import { chromium } from "playwright-core";

import { find } from "./chromium.mjs";

const STEPS = { click: 1, check: 1, fill: 2, arrive: 1, see: 1, open: 1 };

function usage(problem) {
  console.error(`${problem}\nusage: node drive.mjs [--seconds N] [--screenshot FILE] URL [STEP]…`);
  process.exit(2);
}

function read(words) {
  const steps = [];
  for (let at = 0; at < words.length; ) {
    const kind = words[at];
    const count = STEPS[kind];
    if (count === undefined) usage(`${kind} is no step`);
    const given = words.slice(at + 1, at + 1 + count);
    if (given.length < count) usage(`${kind} lacks a word`);
    steps.push({ kind, given });
    at += 1 + count;
  }
  return steps;
}

async function take(page, { kind, given: [what, text] }) {
  const named = { name: what, exact: true };
  switch (kind) {
    case "click": {
      const summary = page.locator("summary", { hasText: what });
      await page.getByRole("button", named).or(page.getByRole("link", named)).or(summary).click();
      break;
    }
    case "check":
      await page.getByLabel(what, { exact: true }).check();
      break;
    case "fill":
      await page.getByLabel(what).fill(text);
      break;
    case "arrive":
      await page.waitForURL((url) => url.href.startsWith(what));
      break;
    case "see":
      await page.getByText(what).first().waitFor();
      break;
    case "open":
      await page.goto(what);
      break;
  }
}

async function tell(page) {
  return { url: page.url(), title: await page.title(), text: await page.locator("body").innerText() };
}

let options;
try {
  options = parseArgs({
    options: { seconds: { type: "string", default: "30" }, screenshot: { type: "string" } },
    allowPositionals: true,
  });
} catch (error) {
  usage(error.message);
}
const [url, ...words] = options.positionals;
if (url === undefined) usage("a URL is missing");
const steps = [{ kind: "open", given: [url] }, ...read(words)];

const found = find();
if (found === undefined) {
  console.error("there is no Chromium: set $CHROMIUM, install one, or run `npm ci` in tests/ on Linux and x86-64");
  process.exit(3);
}
// Containers rarely allow the sandbox, and the pages are our own. A proxy in the environment is not for loopback.
const browser = await chromium.launch({
  executablePath: found.path,
  args: ["--no-sandbox", "--no-proxy-server"],
  env: { ...process.env, ...found.environment },
});
const page = await browser.newPage();
page.setDefaultTimeout(Number(options.values.seconds) * 1000);
page.setDefaultNavigationTimeout(Number(options.values.seconds) * 1000);
try {
  for (const step of steps) {
    try {
      await take(page, step);
    } catch (error) {
      console.error(`failed to ${step.kind} ${step.given.join(" ")}: ${error.message}`);
      console.error(JSON.stringify(await tell(page)));
      if (options.values.screenshot !== undefined) {
        await page.screenshot({ path: options.values.screenshot });
      }
      process.exitCode = 1;
      break;
    }
  }
  if (process.exitCode === undefined) {
    console.log(JSON.stringify(await tell(page)));
  }
} finally {
  await browser.close();
}
