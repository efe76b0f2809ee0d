// Checks a file of element templates; prints what is wrong with which, and exits with 1 then.
import { readFileSync } from 'node:fs';
import { validateAll } from '@bpmn-io/element-templates-validator';

const { valid, results } = validateAll(JSON.parse(readFileSync(process.argv[2], 'utf8')));
for (const { object, errors } of results) {
  for (const error of errors ?? []) console.log(`${object?.id}: ${error.instancePath ?? ''} ${error.message}`);
}
process.exit(valid ? 0 : 1);
