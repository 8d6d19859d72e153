// A room for each instance, in which everybody publishes a stream and watches the others'.
//
// A client gets an id, and may publish under it alone: streams are called ID/camera, ID/screen. The
// shared object `people` lists the people in the room and the streams of each.

const MOST_PEOPLE = 8;

let people;           // id -> {name, streams: [...], muted}
let moderator = null; // the person who is there longest
let ids = 0;

application.onAppStart = () => {
  people = SharedObject.get("people", false);
};

application.onConnect = (client, name) => {
  if (application.clients.length >= MOST_PEOPLE) {
    application.rejectConnection(client, { code: "full", most: MOST_PEOPLE });
    return;
  }
  ids += 1;
  client.person = `p${ids}`;
  client.state = { name: String(name ?? client.person), streams: [], muted: false };
  // Access goes by path: everybody plays everything, each publishes in a folder of its own.
  client.writeAccess = `/${client.person}`;
  application.acceptConnection(client);
  client.call("onEnter", null, { id: client.person, moderator: moderator === null });
  moderator ??= client;
  show(client);
};

application.onDisconnect = (client) => {
  people.setProperty(client.person, null);
  if (moderator === client) {
    moderator = [...application.clients].find((other) => other !== client) ?? null;
    moderator?.call("onModerator", null);
  }
};

application.onPublish = (client, stream) => {
  client.state.streams.push(stream.name);
  show(client);
};

application.onUnpublish = (client, stream) => {
  client.state.streams = client.state.streams.filter((name) => name !== stream.name);
  show(client);
};

Client.prototype.mute = function (muted) {
  this.state.muted = muted === true;
  show(this);
};

Client.prototype.tell = function (id, what) {
  const other = find(id);
  other.call("onTold", null, this.person, what);
};

// Methods of the moderator alone.

Client.prototype.kick = function (id) {
  if (this !== moderator) {
    throw new Error("only the moderator may do that");
  }
  application.disconnect(find(id));
};

function find(id) {
  for (const client of application.clients) {
    if (client.person === id) {
      return client;
    }
  }
  throw new Error(`${id} is not here`);
}

function show(client) {
  people.setProperty(client.person, client.state);
}
