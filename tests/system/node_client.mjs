// SPDX-License-Identifier: MIT
// What web viewers are made of speaks with the server: dicomweb-client and dcmjs of the npm registry.
//     node node_client.mjs FOLDER-WITH-NODE_MODULES DICOMWEB-URL FILE.dcm
// Stores the file, finds it and fetches it in every way; prints what came, as JSON.
import fs from 'node:fs';
import { createRequire } from 'node:module';
import path from 'node:path';

const [folder, url, file] = process.argv.slice(2);
const require = createRequire(path.join(folder, 'package.json'));
globalThis.XMLHttpRequest = require('xhr2'); // Node.js has none
const { api } = await import(path.join(folder, 'node_modules/dicomweb-client/build/dicomweb-client.es.js'));
const { DicomMessage, DicomMetaDictionary } = require('dcmjs').data;

const bytes = fs.readFileSync(file);
const whole = bytes.buffer.slice(bytes.byteOffset, bytes.byteOffset + bytes.length);
const naturalize = (buffer) => DicomMetaDictionary.naturalizeDataset(DicomMessage.readFile(buffer).dict);
const client = new api.DICOMwebClient({ url });
const given = naturalize(whole);
const study = { studyInstanceUID: given.StudyInstanceUID };
const series = { ...study, seriesInstanceUID: given.SeriesInstanceUID };
const instance = { ...series, sopInstanceUID: given.SOPInstanceUID };

await client.storeInstances({ datasets: [whole] });
const queryParams = { StudyInstanceUID: given.StudyInstanceUID };
const studies = await client.searchForStudies({ queryParams });
const instances = await client.searchForInstances({ queryParams });
const metadata = await client.retrieveSeriesMetadata(series);
const fetched = naturalize(await client.retrieveInstance(instance));
const [frame] = await client.retrieveInstanceFrames({ ...instance, frameNumbers: [1] });
const [picture] = [await client.retrieveInstanceRendered({ ...instance, mediaTypes: [{ mediaType: 'image/png' }] })].flat();

console.log(JSON.stringify({
  studies: studies.length,
  instances: instances.map((found) => found['00080018'].Value[0]),
  metadata: metadata.map((found) => DicomMetaDictionary.naturalizeDataset(found).SOPInstanceUID),
  name: String(fetched.PatientName),
  rows: fetched.Rows,
  frame: frame.byteLength,
  picture: picture.byteLength ?? picture.size,
}));
