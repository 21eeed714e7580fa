/* SPDX-License-Identifier: MIT */
#include "storage/rocks_log.h"

#include <cstdarg>
#include <memory>

#include <rocksdb/c.h>
#include <rocksdb/env.h>

/* As RocksDB's db/c.cc has it: its C interface takes a logger, and (before 8.9) can make none. */
struct rocksdb_logger_t {
    std::shared_ptr<rocksdb::Logger> rep;
};

namespace
{

class SilentLogger : public rocksdb::Logger
{
  public:
    SilentLogger() : rocksdb::Logger(rocksdb::InfoLogLevel::FATAL_LEVEL)
    {
    }
    void LogHeader(const char *, va_list) override
    {
    }
    void Logv(const char *, va_list) override
    {
    }
    void Logv(const rocksdb::InfoLogLevel, const char *, va_list) override
    {
    }
};

} // namespace

extern "C" void rocks_log_silence(struct rocksdb_options_t *options)
{
    rocksdb_logger_t logger{ std::make_shared<SilentLogger>() };
    rocksdb_options_set_info_log(options, &logger);
}
