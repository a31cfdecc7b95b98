// `readLines` of Deno's former standard library, the one thing that dspy's runner imports from an address of its own;
// `import_map.json` puts this in its place, so that nothing but packages is fetched.
export async function* readLines(reader) {
  const decoder = new TextDecoder();
  const buffer = new Uint8Array(1 << 16);
  let parts = [];
  for (let size; (size = await reader.read(buffer)) !== null;) {
    const lines = decoder.decode(buffer.subarray(0, size), { stream: true }).split("\n");
    parts.push(lines[0]);
    for (const line of lines.slice(1)) {
      yield parts.join("");
      parts = [line];
    }
  }
}
