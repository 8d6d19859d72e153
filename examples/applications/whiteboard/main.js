// A whiteboard for each instance. Clients draw by writing the shared object `board/strokes`
// directly; the server checks each change and removes anything that is not a stroke.

const MOST_STROKES = 500;
const MOST_NUMBERS = 2000; // x and y of 1000 points
const COLOUR = /^#[0-9a-f]{6}$/i;

let board;     // a slot for each stroke, named PEN-NUMBER
let strokes;   // the names of the strokes, oldest first
let pens = 0;

application.onAppStart = () => {
  board = SharedObject.get("board/strokes", false);
  strokes = new Set();
  board.onSync = (changes) => {
    board.lock();
    for (const { code, name } of changes) {
      if (code === "change") {
        keepOrRemove(name);
      } else if (code === "delete") {
        strokes.delete(name);
      }
    }
    board.unlock();
  };
};

application.onConnect = (client) => {
  pens += 1;
  client.pen = `pen${pens}`;
  // Access is given by folder: they may write the board and nothing else.
  client.writeAccess = "/board";
  application.acceptConnection(client);
  client.call("onPen", null, client.pen);
};

// The names of strokes are PEN-NUMBER, so that each client can undo its own.

Client.prototype.undo = function () {
  const own = [...strokes].filter((name) => name.startsWith(`${this.pen}-`));
  if (own.length === 0) {
    return false;
  }
  remove(own.at(-1));
  return true;
};

Client.prototype.wipe = function () {
  board.clear();
  strokes.clear();
  // All members get the pen of the client that wiped the board.
  board.send("onWiped", this.pen);
};

function keepOrRemove(name) {
  if (!isStroke(name, board.getProperty(name))) {
    trace(`not a stroke: ${name}`);
    board.setProperty(name, null);
    return;
  }
  // A stroke that grows is the same stroke.
  strokes.add(name);
  for (const oldest of strokes) {
    if (strokes.size <= MOST_STROKES) {
      break;
    }
    remove(oldest);
  }
}

function isStroke(name, stroke) {
  return /^pen\d+-\d+$/.test(name)
    && stroke !== null
    && COLOUR.test(stroke.colour)
    && stroke.width > 0 && stroke.width <= 100
    && Array.isArray(stroke.points)
    && stroke.points.length % 2 === 0
    && stroke.points.length <= MOST_NUMBERS
    && stroke.points.every(Number.isFinite);
}

function remove(name) {
  strokes.delete(name);
  board.setProperty(name, null);
}
