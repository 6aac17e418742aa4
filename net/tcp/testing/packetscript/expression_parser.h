#ifndef LUNA_NET_TCP_TESTING_PACKETSCRIPT_EXPRESSION_PARSER_H_
#define LUNA_NET_TCP_TESTING_PACKETSCRIPT_EXPRESSION_PARSER_H_

// The parts of parser.h: each reads one thing at the cursor and reports through Cursor::Fail().

#include <map>
#include <string>

#include "luna/net/tcp/testing/packetscript/cursor.h"
#include "luna/net/tcp/testing/packetscript/script.h"

namespace luna::tcp::packetscript {

// "--define=NAME=value": the value as written, quotes included.
using Defines = std::map<std::string, std::string>;

// One argument or result. `depth` is how deep it may still nest.
Expression ParseExpression(Cursor& in, const Defines& defines, int depth);
// "name(arguments) = result ERRNO (note)".
SystemCallSpec ParseSystemCall(Cursor& in, const Defines& defines);
// What follows '<' or '>'.
PacketSpec ParsePacket(Cursor& in, bool outbound);

}  // namespace luna::tcp::packetscript

#endif  // LUNA_NET_TCP_TESTING_PACKETSCRIPT_EXPRESSION_PARSER_H_
