// Runs JavaScript samples and prints what each gave to console.log as a line of JSON: an object is
// printed whole, where the console would leave out what lies deep.
import {pathToFileURL} from 'node:url';

const log = console.log;
console.error = (error) => {
  throw error;
};
for (const path of process.argv.slice(2)) {
  const printed = [];
  console.log = (data) => printed.push(typeof data === 'string' ? data : JSON.stringify(data));
  await import(pathToFileURL(path));
  log(JSON.stringify(printed.join('\n')));
}
