// Loaded before emulate, which listens on all interfaces and has no option for it: here it listens on loopback.
const net = require("node:net");
const listen = net.Server.prototype.listen;
net.Server.prototype.listen = function (port, host, ...rest) {
  return listen.call(this, port, typeof host === "string" ? host : "127.0.0.1", ...rest);
};
