// Live streams with tokens: a client that knows a stream's token publishes NAME?token=TOKEN.
//
// tokens.json has the token of each stream. It is read again whenever the application starts; copy
// a new one into the folder and new instances use it.

let tokens; // stream name: token
let live;   // stream name: its publisher, and since when

application.onAppStart = () => {
  tokens = readTokens("tokens.json");
  live = new Map();
  trace(`${tokens.size} streams may be published`);
};

// Decides a publish: false refuses with NetStream.Publish.BadName, an identity lets its owner take
// over from a connection that is half dead.
application.onPublishRequest = (client, name, type, query) => {
  const token = new Map(query.split("&").map((pair) => pair.split("="))).get("token");
  if (type !== "live" || !tokens.has(name) || !same(token, tokens.get(name))) {
    trace(`${client.ip} may not publish ${name}`);
    return { code: "NetStream.Publish.BadName", description: "The token is wrong." };
  }
  return { identity: `token of ${name}` };
};

application.onPublish = (client, stream) => {
  live.set(stream.name, { name: stream.name, since: Date.now(), from: client.agent });
  application.broadcastMsg("onLive", stream.name);
};

application.onUnpublish = (client, stream) => {
  live.delete(stream.name);
  application.broadcastMsg("onOver", stream.name);
};

// For players that show a list.
Client.prototype.list = () => [...live.values()];

function readTokens(name) {
  const file = new File(name);
  if (!file.open("text", "read")) {
    throw new Error(`${name} cannot be read`);
  }
  const text = file.readAll().join("\n");
  file.close();
  return new Map(Object.entries(JSON.parse(text)));
}

// Compares all characters of both, so that the time it takes does not show where they differ.
function same(one, other) {
  if (typeof one !== "string" || one.length !== other.length) {
    return false;
  }
  let difference = 0;
  for (let at = 0; at < one.length; at++) {
    difference |= one.charCodeAt(at) ^ other.charCodeAt(at);
  }
  return difference === 0;
}
