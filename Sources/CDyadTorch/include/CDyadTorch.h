#ifndef CDYADTORCH_H
#define CDYADTORCH_H
#endif
