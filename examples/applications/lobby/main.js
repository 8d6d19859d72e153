// A lobby for games of two: players are paired by the server, or ask each other, and play noughts and
// crosses. The rules are the server's; a client only names the cell it wants.

const LINES = [[0, 1, 2], [3, 4, 5], [6, 7, 8], [0, 3, 6], [1, 4, 7], [2, 5, 8], [0, 4, 8], [2, 4, 6]];
const PATIENCE = 20_000; // ms until a challenge counts as declined

let players; // shared object: name -> {state: "free" | "waiting" | "playing", wins}
let waiting = null; // who has called find() and waits
let games = 0;

application.onAppStart = () => {
  players = SharedObject.get("players", false);
};

application.onConnect = (client, name) => {
  if (typeof name !== "string" || name === "" || players.getProperty(name) !== null) {
    application.rejectConnection(client, { code: "name" });
    return;
  }
  client.player = name;
  client.wins = 0;
  client.writeAccess = ""; // the server alone writes the shared objects
  client.game = null;
  application.acceptConnection(client);
  show(client, "free");
};

application.onDisconnect = (client) => {
  if (waiting?.client === client) {
    waiting = null;
  }
  client.match?.end(client.match.other(client), "left");
  players.setProperty(client.player, null);
};

// Waits for another player who calls it. The result comes when there is one: the other's name, and
// the caller's own mark.
Client.prototype.find = function () {
  free(this);
  if (waiting === null) {
    show(this, "waiting");
    return new Promise((found) => {
      waiting = { client: this, found };
    });
  }
  const { client: first, found } = waiting;
  waiting = null;
  const match = new Match(first, this);
  found(match.told(first));
  return match.told(this);
};

// Asks another player, who may decline or not answer.
Client.prototype.challenge = async function (name) {
  free(this);
  const other = byName(name);
  if (!other || other === this) {
    throw new Error(`${name} is not here`);
  }
  free(other);
  if (!(await asked(other, this.player))) {
    return null;
  }
  // Either may have found another player meanwhile.
  free(this);
  free(other);
  const match = new Match(this, other);
  other.call("onMatch", null, match.told(other));
  return match.told(this);
};

function asked(client, by) {
  return new Promise((answer) => {
    const timer = setInterval(() => {
      clearInterval(timer);
      answer(false);
    }, PATIENCE);
    const done = (accepted) => {
      clearInterval(timer);
      answer(accepted === true);
    };
    client.call("onChallenge", { onResult: done, onStatus: () => done(false) }, by);
  });
}

class Match {
  constructor(first, second) {
    games += 1;
    this.number = games;
    this.seats = [first, second];
    this.turn = 0;
    this.cells = Array(9).fill(null);
    this.board = SharedObject.get(`games/${this.number}`, false);
    for (const client of this.seats) {
      client.match = this;
      // A peer reaches what the script puts on the client: it calls `game.move`.
      client.game = { move: (cell) => this.move(client, cell), resign: () => this.resign(client) };
      show(client, "playing");
    }
    this.publish();
  }

  told(client) {
    return {
      game: this.number,
      mark: "XO"[this.seats.indexOf(client)],
      opponent: this.other(client).player,
    };
  }

  other(client) {
    return this.seats[1 - this.seats.indexOf(client)];
  }

  move(client, cell) {
    if (this.seats[this.turn] !== client) {
      throw new Error("it is not your turn");
    }
    if (!Number.isInteger(cell) || cell < 0 || cell > 8 || this.cells[cell] !== null) {
      throw new Error("that cell is not free");
    }
    this.cells[cell] = "XO"[this.turn];
    this.turn = 1 - this.turn;
    this.publish();
    const won = LINES.some((line) => line.every((at) => this.cells[at] === this.cells[cell]));
    if (won) {
      this.end(client, "line");
    } else if (this.cells.every((mark) => mark !== null)) {
      this.end(null, "draw");
    }
    return this.cells;
  }

  resign(client) {
    this.end(this.other(client), "resigned");
  }

  publish() {
    this.board.lock();
    this.board.setProperty("cells", this.cells);
    this.board.setProperty("turn", this.seats[this.turn].player);
    this.board.unlock();
  }

  end(winner, why) {
    for (const client of this.seats) {
      client.match = null;
      client.game = null;
      client.call("onGameOver", null, { winner: winner?.player ?? null, why });
    }
    if (winner) {
      winner.wins += 1;
    }
    this.seats.forEach((client) => show(client, "free"));
    this.board.close();
  }
}

function byName(name) {
  for (const client of application.clients) {
    if (client.player === name) {
      return client;
    }
  }
  return undefined;
}

function free(client) {
  if (client.match || waiting?.client === client) {
    throw new Error(`${client.player} is not free`);
  }
}

function show(client, state) {
  players.setProperty(client.player, { state, wins: client.wins });
}
