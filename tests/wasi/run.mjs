// node tests/wasi/run.mjs PROGRAM [ARGUMENT...]: runs a WebAssembly program that sees the current directory and
// $TEST_TMP, and no other file.
import { readFileSync } from 'node:fs';
import { argv, cwd, env, exit } from 'node:process';
import { WASI } from 'node:wasi';

const preopens = { '.': cwd() };
if (env.TEST_TMP) preopens[env.TEST_TMP] = env.TEST_TMP;
const wasi = new WASI({ version: 'preview1', args: argv.slice(2), env, preopens, returnOnExit: true });
const { instance } = await WebAssembly.instantiate(readFileSync(argv[2]), wasi.getImportObject());
exit(wasi.start(instance));
