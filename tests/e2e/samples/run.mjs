// Runs JavaScript samples and prints the output of each as a line of JSON. An object is printed whole,
// where the console would shorten what is nested.
import {pathToFileURL} from 'node:url';

const log = console.log;
for (const path of process.argv.slice(2)) {
  const printed = [];
  console.log = (data) => printed.push(typeof data === 'string' ? data : JSON.stringify(data));
  await import(pathToFileURL(path));
  log(JSON.stringify(printed.join('\n')));
}
