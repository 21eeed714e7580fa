# Turns a text file into a C string: cmake -DINPUT=hounsfield.json -DOUTPUT=x.c -DNAME=variable -P embed.cmake
file(READ ${INPUT} text HEX)
string(REGEX REPLACE "([0-9a-f][0-9a-f])" "0x\\1," bytes "${text}")
file(WRITE ${OUTPUT} "extern const char ${NAME}[];\nconst char ${NAME}[] = { ${bytes}0 };\n")
