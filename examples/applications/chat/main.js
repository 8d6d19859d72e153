// A chat room for each instance: who is there, what was said, and who is writing.
//
// Clients connect with the name they want, read the shared objects, and call `say`.
// They may write `typing/now` alone; the rest is the server's.

const LONGEST_NAME = 32;
const LONGEST_TEXT = 500;
const HISTORY = 50;

let users;   // temporary: a slot for each person who is here
let history; // persistent: the last messages, in as many slots as there are
let count;   // messages so far

application.onAppStart = () => {
  users = SharedObject.get("users", false);
  history = SharedObject.get("history", true);
  count = history.getProperty("count") ?? 0;
};

application.onConnect = (client, wanted) => {
  const name = String(wanted ?? "").trim();
  if (name === "" || name.length > LONGEST_NAME) {
    return reject(client, "name", `a name has 1 to ${LONGEST_NAME} characters`);
  }
  if (users.getProperty(name) !== null) {
    return reject(client, "taken", `${name} is here already`);
  }
  client.nick = name;
  client.writeAccess = "/typing";
  application.acceptConnection(client);
  users.setProperty(name, { since: Date.now() });
  application.broadcastMsg("onJoin", name);
  trace(`${name} is in ${application.name}, ${application.clients.length} are there`);
};

application.onDisconnect = (client) => {
  users.setProperty(client.nick, null);
  application.broadcastMsg("onLeave", client.nick);
};

// Methods that clients may call. A text that is thrown reaches the caller as a failed call.

Client.prototype.say = function (text) {
  const said = String(text ?? "").trim();
  if (said === "" || said.length > LONGEST_TEXT) {
    throw new Error(`a message has 1 to ${LONGEST_TEXT} characters`);
  }
  count += 1;
  const message = { number: count, from: this.nick, text: said, time: Date.now() };
  // One batch: no member gets a message without the count that belongs to it.
  history.lock();
  history.setProperty(`message${count % HISTORY}`, message);
  history.setProperty("count", count);
  history.unlock();
  return count;
};

Client.prototype.whisper = function (to, text) {
  for (const other of application.clients) {
    if (other.nick === to) {
      other.call("onWhisper", null, this.nick, String(text));
      return true;
    }
  }
  return false;
};

Client.prototype.who = () => users.getPropertyNames();

function reject(client, code, text) {
  application.rejectConnection(client, { code, text });
}
