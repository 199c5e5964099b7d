// node turn.mjs PAGE.html FOLDER [WIDTH HEIGHT]: open the page from disk, turn the head, change surface and expression. Writes a
// picture of the viewer for each into FOLDER, and prints as JSON what the page asked for and complained of.
import { writeFileSync } from "node:fs";
import { pathToFileURL } from "node:url";
import chromium from "@sparticuz/chromium";
import puppeteer from "puppeteer-core";

const [file, folder, width = 800, height = 460] = process.argv.slice(2);
const loosened = ["--disable-web-security", "--allow-running-insecure-content"]; // a user's browser has neither
const browser = await puppeteer.launch({
  executablePath: await chromium.executablePath(),
  args: chromium.args.filter(each => !loosened.includes(each)),
  headless: "shell",
  protocolTimeout: 600000,
});
const report = { requests: [], errors: [] };
try {
  const page = await browser.newPage();
  page.setDefaultTimeout(600000);
  await page.setViewport({ width: Number(width), height: Number(height) });
  page.on("request", request => report.requests.push(request.url().slice(0, 100)));
  page.on("pageerror", error => report.errors.push(error.message));
  page.on("console", message => message.type() === "error" && report.errors.push(message.text()));
  await page.goto(pathToFileURL(file).href);
  await page.waitForFunction(() => document.querySelector("model-viewer").loaded);
  const viewer = await page.$("model-viewer");
  const picture = async name => {
    // The viewer's own frame, once it has drawn what was asked for.
    const data = await page.evaluate(async () => {
      const viewer = document.querySelector("model-viewer");
      viewer.scrollIntoView({ behavior: "instant" }); // out of sight, nothing is drawn
      await viewer.updateComplete;
      viewer.jumpCameraToGoal();
      for (let frame = 0; frame < 3; frame++) await new Promise(requestAnimationFrame);
      return viewer.toDataURL("image/png");
    });
    writeFileSync(`${folder}/${name}.png`, Buffer.from(data.split(",")[1], "base64"));
  };
  const express = value => page.evaluate(value => {
    const unit = document.getElementById("unit");
    unit.value = value;
    unit.dispatchEvent(new Event("change"));
  }, value);
  const surface = name => page.evaluate(name => {
    const viewer = document.querySelector("model-viewer");
    const applied = new Promise(done => viewer.addEventListener("variant-applied", done, { once: true }));
    document.querySelector(`input[value=${name}]`).click();
    return applied.then(() => true);
  }, name);

  await picture("front");
  const box = await viewer.boundingBox();
  const [x, y] = [box.x + box.width / 2, box.y + box.height / 2];
  await page.mouse.move(x, y);
  await page.mouse.down();
  await page.mouse.move(x - box.width / 4, y, { steps: 4 });
  await page.mouse.up();
  await picture("turned");
  report.orbit = await page.evaluate(() => document.querySelector("model-viewer").getCameraOrbit().theta);
  await page.click("main button[data-orbit]");
  for (const unit of await page.$$eval("#unit option", all => all.map(each => [each.value, each.textContent])))
    if (["jaw open", "mouth smile left"].includes(unit[1])) {
      await express(unit[0]);
      await picture(unit[1].replaceAll(" ", "_"));
    }
  for (const name of ["shape", "uncertainty", "photographs"]) {
    await surface(name);
    await picture(name);
  }
  await page.screenshot({ path: `${folder}/page.png`, fullPage: true });
} finally {
  await browser.close();
}
console.log(JSON.stringify(report));
